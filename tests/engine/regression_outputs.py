"""Regressions as R, Stata and SPSS print them; written by hand in the programs' layout."""

GLM = """
Call:
glm(formula = admit ~ gre + gpa + rank, family = "binomial", data = mydata)

Deviance Residuals:
    Min       1Q   Median       3Q      Max
-1.6268  -0.8662  -0.6388   1.1490   2.0790

Coefficients:
             Estimate Std. Error z value Pr(>|z|)
(Intercept) -3.989979   1.139951  -3.500 0.000465 ***
gre          0.002264   0.001094   2.070 0.038465 *
gpa          0.804038   0.331819   2.423 0.015388 *
rank2       -0.675443   0.316490  -2.134 0.032829 *
rank3       -1.340204   0.345306  -3.881 0.000104 ***
rank4       -1.551464   0.417832  -3.713  < 2e-16 ***
---
Signif. codes:  0 ‘***’ 0.001 ‘**’ 0.01 ‘*’ 0.05 ‘.’ 0.1 ‘ ’ 1

(Dispersion parameter for binomial family taken to be 1)

    Null deviance: 499.98  on 399  degrees of freedom
Residual deviance: 458.52  on 394  degrees of freedom
AIC: 470.52

Number of Fisher Scoring iterations: 4
"""

GLM_SPACED = """
Coefficients: (1 not defined because of singularities)
                                  Estimate Std. Error z value Pr(>|z|)
(Intercept)                      5.000e-01  1.139e+00   0.439   0.6607
schoolingupper secondary school  2.500e-01  1.094e-01   2.285   0.0223 *
schoolingshort course 2         −1.500e-05  3.318e-01   0.000   0.9999
wave                                    NA         NA      NA       NA
age:femaleTRUE                   1.300e-02  3.164e-03   4.109 3.97e-05 ***

    Null deviance: 499.98  on 399  degrees of freedom
"""

MULTINOM = """
Call:
multinom(formula = vote ~ schooling + age, data = ml)

Coefficients:
          (Intercept) schoolingupper secondary
centre        2.85217               -0.5332810
far right     5.21826               -0.9828349
                 age
centre    -0.0579287
far right -0.1136037

Std. Errors:
          (Intercept) schoolingupper secondary        age
centre       1.166441                0.4437323 0.02141097
far right    1.163552                0.5955658 0.02222000

Residual Deviance: 359.9635
AIC: 375.9635
"""

POLR = """
Call:
polr(formula = apply ~ pared + public + gpa, data = dat, Hess = TRUE)

Coefficients:
          Value Std. Error t value
pared   1.04769     0.2658  3.9418
public -0.05879     0.2979 -0.1974
gpa     0.61594     0.2606  2.3632

Intercepts:
                            Value   Std. Error t value
unlikely|somewhat likely     2.2039  0.7795     2.8272
somewhat likely|very likely  4.2994  0.8043     5.3453

Residual Deviance: 717.0249
AIC: 727.0249
"""

COEF_VECTOR = """
Call:  glm(formula = y ~ age + sex, family = binomial)

Coefficients:
(Intercept)          age      sexmale
    -1.2340       0.0321       0.5000

Degrees of Freedom: 99 Total (i.e. Null);  97 Residual
"""

STATA_LOGIT = """
Logistic regression                             Number of obs     =        189
                                                LR chi2(8)        =      33.22
                                                Prob > chi2       =     0.0001
Log likelihood =   -100.724                     Pseudo R2         =     0.1416

------------------------------------------------------------------------------
             |               Robust
        vote |      Coef.   Std. Err.      z    P>|z|     [95% Conf. Interval]
-------------+----------------------------------------------------------------
         age |  -.0270531   .0364504    -0.74   0.458    -.0984949    .0443887
             |
   schooling |
    primary  |          0  (base)
  secondary  |   .4512345   .1234567     3.65   0.000     .2092637    .6932053
   tertiary  |   .9876543   .1345678     7.34   0.000     .7239063    1.251402
             |
    1.female |        .31       .104     2.98   0.003     .1061638    .5138362
             |
   schooling#|
       c.age |
          2  |      .0123   .0034567     3.56   0.000     .0055250    .0190750
          3  |     -.0456   .0041111   -11.09   0.000    -.0536576   -.0375424
             |
    o.income |          0  (omitted)
       _cons |   1.333575   1.203856     1.11   0.268    -1.025939    3.693089
------------------------------------------------------------------------------
"""

MLOGIT = """
Multinomial logistic regression                 Number of obs     =        616

-------------------------------------------------------------------------------
         vote | Coefficient  Std. err.      z    P>|z|     [95% conf. interval]
--------------+----------------------------------------------------------------
left          |  (base outcome)
--------------+----------------------------------------------------------------
centre        |
          age |   -.011745   .0061946    -1.90   0.058    -.0238862    .0003962
         male |   .5616934   .2027465     2.77   0.006     .1643175    .9590693
        _cons |   .2697127   .3284422     0.82   0.412    -.3740222    .9134476
--------------+----------------------------------------------------------------
far_right     |
          age |  -.0077961   .0114418    -0.68   0.496    -.0302217    .0146294
         male |   .4518496   .3674867     1.23   0.219     -.268411     1.17211
        _cons |  -1.286943   .5923219    -2.17   0.030    -2.447872   -.1260135
-------------------------------------------------------------------------------
"""

OLOGIT = """
Ordered logistic regression                     Number of obs     =         66

------------------------------------------------------------------------------
       rep77 |      Coef.   Std. Err.      z    P>|z|     [95% Conf. Interval]
-------------+----------------------------------------------------------------
     foreign |   2.896807   .7906411     3.66   0.000     1.347179    4.446435
      length |   .0828275     .02272     3.65   0.000     .0382972    .1273579
         mpg |   .2307677   .0704548     3.28   0.001     .0926788    .3688566
-------------+----------------------------------------------------------------
       /cut1 |   17.92748   5.551191                      7.047344    28.80761
       /cut2 |   19.86506    5.59648                      8.896161    30.83396
       /cut3 |   22.10331   5.708936                       10.914    33.29262
------------------------------------------------------------------------------
"""

SPSS = """
Block 0: Beginning Block

Variables in the Equation
\t\tB\tS.E.\tWald\tdf\tSig.\tExp(B)
Step 0\tConstant\t-.847\t.154\t30.2\t1\t.000\t.429

Variables not in the Equation
\t\t\tScore\tdf\tSig.
Step 0\tVariables\tage\t1.921\t1\t.166

Block 1: Method = Enter

Variables in the Equation
\t\tB\tS.E.\tWald\tdf\tSig.\tExp(B)\t95% C.I.for EXP(B)
\t\t\t\t\t\t\t\tLower\tUpper
Step 1a\tage\t.034\t.010\t11.560\t1\t.001\t1.035\t1.014\t1.055
\tschooling\t\t\t15.213\t2\t.000\t\t\t
\tschooling(1)\t.512\t.140\t13.375\t1\t.000\t1.669\t1.268\t2.196
\tschooling(2)\t-.125\t.110\t1.291\t1\t.256\t.882\t.711\t1.095
\tConstant\t-2.345\t.456\t26.446\t1\t.000\t.096\t\t
a. Variable(s) entered on step 1: age, schooling.
"""

SPSS_GERMAN = """
Variablen in der Gleichung
            Regressionskoeffizient B  S.E.    Wald    df  Sig.   Exp(B)
Schritt 1a  age         ,034    ,010   11,560   1   ,001    1,035
            Constant  -2,345    ,456   26,446   1   ,000     ,096
"""

PLAIN = """
# typed from a paper
intercept = -1.0
age 0.02 0.001
age:female: 0.5
mood\t1e-3
x,-0.25
y=2
"""

VCOV = """
                            female  income   tired disagree|neither
female                      0.0706  0.0021 -0.0012           0.0183
income                      0.0021  0.0887  0.0030           0.0110
tired                      -0.0012  0.0030  0.0679           0.1000
disagree|neither            0.0183  0.0110  0.1000           0.6200
neither|somewhat agree      0.0190  0.0100  0.1000           0.5800
somewhat agree|fully agree  0.0200  0.0090  0.1000           0.5000
                           neither|somewhat agree somewhat agree|fully agree
female                                     0.0190                     0.0200
income                                     0.0100                     0.0090
tired                                      0.1000                     0.1000
disagree|neither                           0.5800                     0.5000
neither|somewhat agree                     0.6500                     0.5500
somewhat agree|fully agree                 0.5500                     0.8100
"""
